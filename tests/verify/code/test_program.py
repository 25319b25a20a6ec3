"""The program of a completion: which block counts, and in which language."""

import pytest

from learnalign.verify.code.program import Program, find_program

PYTHON = "print(1)\n"


@pytest.mark.parametrize(
    ("completion", "program"),
    [
        ("```python\nprint(1)\n```", Program(PYTHON, "python")),
        ("```py\nprint(0)\n```\nBetter:\n```Python\nprint(1)\n```\nDone.", Program(PYTHON, "python")),
        ("```\nprint(1)\n```", Program(PYTHON, "python")),
        ("```python\nprint(1)\n```\nIt prints\n```\n1\n```", Program(PYTHON, "python")),
        ("```python\nprint(1)\n```\n```text\n1\n```\n", Program(PYTHON, "python")),
        ("```c++\nint main(){}\n```", Program("int main(){}\n", "cpp")),
        ("~~~python\nprint(1)\n~~~", Program(PYTHON, "python")),
        ("````python\ns = '''\n```\n'''\n````", Program("s = '''\n```\n'''\n", "python")),
        ("1. So:\n   ```python\n   if 1:\n       print(1)\n   ```", Program("if 1:\n    print(1)\n", "python")),
        ("```python\r\nprint(1)\r\n```\r\n", Program(PYTHON, "python")),
        ("```python title=x\nprint(1)\n```", Program(PYTHON, "python")),
        ("```python\ns = '``` in a line'\n```", Program("s = '``` in a line'\n", "python")),
    ],
)
def test_the_last_named_block_is_the_program(completion: str, program: Program) -> None:
    assert find_program(completion, "python") == program


def test_a_block_without_a_name_is_in_the_rows_language() -> None:
    assert find_program("```\nint main(){}\n```", "cpp") == Program("int main(){}\n", "cpp")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ("print(1)", "no program"),
        ("", "no program"),
        ("```python\nprint(1)", "the program's fence is not closed"),
        ("```python\nprint(0)\n```\nWait:\n```python\nprint(1)", "the program's fence is not closed"),
        ("```bash\nls\n```", "no program: its fences name bash"),
        ("```python\n\n```", "the program is empty"),
    ],
)
def test_what_is_no_program_is_said(completion: str, reason: str) -> None:
    assert find_program(completion, "python") == reason


def test_a_long_completion_of_fences_takes_no_long_time() -> None:
    assert find_program("```\n" * 200_001, "python") == "the program's fence is not closed"
    assert find_program(" " * 1_000_000 + "`" * 1_000_000, "python") == "no program"
