"""A tokenizer's chat template: rendered by every stage with the same settings at the same time; its errors in one line."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from learnalign.errors import InputError, one_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TemplateRefusal(InputError):
    """A chat template raises an error for these messages; `reason` is its own text, `where` names the model."""

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where}: its chat template refuses these messages: {reason}")
        self.where, self.reason = where, reason


def fix_template(tokenizer: PreTrainedTokenizerBase, where: str, settings: dict[str, Any], time: datetime) -> None:
    """Make `tokenizer` render with `settings`, and with `time` as the present one, whoever calls it (TRL does itself).

    It then raises InputError for a template that does not compile, TemplateRefusal for messages that it cannot render.
    """
    from jinja2 import TemplateSyntaxError

    render = tokenizer.apply_chat_template
    fixed = {"strftime_now": time.strftime, **settings}  # the name under which transformers gives templates the time

    def apply_chat_template(*args: Any, **options: Any) -> Any:
        try:
            return render(*args, **{**fixed, **options})
        except TemplateSyntaxError as error:
            raise InputError(
                f"{where}: its chat template is broken, line {error.lineno}: {one_line(error.message, 200)}; correct it "
                "(chat_template.jinja beside its tokenizer_config.json), or use another model"
            ) from None
        except Exception as error:  # a template is a program: it may fail with any error of Jinja's or Python's
            raise TemplateRefusal(where, one_line(error, 200) or type(error).__name__) from None

    tokenizer.apply_chat_template = apply_chat_template  # type: ignore[method-assign]
