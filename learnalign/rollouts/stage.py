"""Stage 3: G rollouts of every prompt, judged, and the success rates they give (§4.4, step 3)."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from learnalign.executor import Work, Worker, execute, one_by_one
from learnalign.golds import refuse_solutions
from learnalign.policy import policy_path, run_tokenizer, settled
from learnalign.progress import Advance, Progress
from learnalign.prompts import Prompt, Prompts, load_prompts
from learnalign.randomness import seed_of
from learnalign.rollouts.adaptive import first_half, half_of, needs_second_half, share_wanted
from learnalign.rollouts.engines.choice import engine_name, open_engine
from learnalign.rollouts.engines.contract import Request, Sampling
from learnalign.rollouts.engines.vllm_settings import gpus_of
from learnalign.rollouts.first_look import look_at_first
from learnalign.rollouts.groups import (
    Rollout,
    Source,
    judged_rollout,
    load_opened,
    load_rollouts,
    none_scored,
    refuse_mixture,
    store_verdicts,
    stored_shards,
    write_rollouts,
)
from learnalign.rollouts.judging import (
    completion_texts,
    judge,
    opened_reasoning,
    refuse_unscored,
    unscored_reasons,
)
from learnalign.rollouts.result import SCORES_AGAIN, RolloutResult, conclude
from learnalign.rollouts.unfinished import MOST_SHARDS, Unfinished
from learnalign.rundir import Quarantined, RunDir, Shard
from learnalign.rundir.files import is_done
from learnalign.tokenised import asked_ids
from learnalign.verify.configured import configured_verifier


def rollout(run: RunDir, anyway: bool = False) -> RolloutResult:
    """Sample and judge the shards that are not stored yet, then write success.parquet.

    Unless `anyway`, InputError is raised if the golds are whole solutions, or if nearly none or all of the first shard's
    completions are correct, or most are cut off. Finished rollouts are not looked at again.
    Raises RunError if an engine fails, or a verifier on all rollouts of a shard; finished shards stay, and rollouts of which
    none was scored are scored again.
    """
    prompts = load_prompts(run)
    looks = not anyway and not run.is_finished("rollout")
    if looks:
        refuse_solutions(run.config, prompts)
    with run.stage("rollout") as record:
        stored = stored_shards(run)
        _score_again(run, prompts, [shard for shard in stored if none_scored(run, shard)])
        options: dict[str, Any] = {}
        if len(stored) < len(run.shards()):
            refuse_mixture(run, stored)
            settled(run)  # by this process, not by several workers
            options = {"engine": _engine(run, stored), "looks": looks and not look_at_first(run)}
        execute(run, _work(run, options))
        if engine := next((source.engine for source in stored_shards(run).values() if source.engine), None):
            record.notes["engine"] = engine
        with run.alone():
            return conclude(run, prompts, record)


def _engine(run: RunDir, stored: Mapping[Shard, Source]) -> str:
    """The engine to sample with: with `auto`, the one that the first rollouts came from, and the first slice has begun with."""
    begun = next((source.engine for source in stored.values() if source.engine), None)
    if run.slice is None:
        return engine_name(run.config, begun)
    with run.alone():  # slices begin at once, some perhaps where vLLM is installed and some where not
        name = engine_name(run.config, begun or run.read_record()["stages"]["rollout"].get("engine"))
        run.note("rollout", engine=name)
    return name


def _work(run: RunDir, options: dict[str, Any]) -> Work:
    fingerprint = run.fingerprint("rollout")
    return Work(
        stage="rollout",
        label="rollouts",
        make=_make_worker,
        done=lambda shard: is_done(run.rollouts_file(shard), fingerprint, shard.rows),
        options=options,
        gpus=gpus_of(run.config.rollout.vllm) if options.get("engine") == "vllm" else 1,
    )


def _make_worker(run: RunDir, engine: str, looks: bool) -> Worker:
    return RolloutWorker(run, load_prompts(run), engine, looks)


def _score_again(run: RunDir, prompts: Sequence[Prompt], shards: Sequence[Shard]) -> None:
    """Score stored rollouts of which none is scored: their verifier failed, and may have been mended since."""
    if not shards:
        return
    by_id = {prompt.id: prompt for prompt in prompts}
    with configured_verifier(run.config) as verifier:
        for shard in shards:
            drawn = [(by_id[rollout.id], rollout.text) for rollout in load_rollouts(run, shard)]
            store_verdicts(run, shard, judge(verifier, drawn, load_opened(run, shard)))
            _refuse_unscored(run, shard)


def _refuse_unscored(run: RunDir, shard: Shard) -> None:
    """Raise RunError if the verifier failed on all the stored rollouts of the shard."""
    if none_scored(run, shard):
        rollouts = load_rollouts(run, shard)
        reasons = unscored_reasons(rollout.reason for rollout in rollouts)
        refuse_unscored(reasons, len(rollouts), run.config.verifier, SCORES_AGAIN)


class RolloutWorker:
    """The engine and the verifier of one process, working on shards; it `looks` at the first. `close` (or garbage collection) ends both."""

    def __init__(self, run: RunDir, prompts: Prompts, engine: str, looks: bool = False) -> None:
        self._run, self._prompts, self._looks = run, prompts, looks
        config = run.config
        longest = config.data.max_prompt_tokens + config.rollout.max_completion_length
        self._tokenizer = run_tokenizer(run)
        stack = ExitStack()
        self.close = weakref.finalize(self, stack.close)
        self._verifier = stack.enter_context(configured_verifier(config))
        self._source = Source(engine=engine)
        self._one_at_a_time = threading.Lock()  # tokenizer and verifier are not for several threads
        self._engine = stack.enter_context(open_engine(settled(run), policy_path(run), longest, engine))
        self._unfinished = Unfinished()
        size = config.rollout.num_generations
        self._first = first_half(size) if config.rollout.adaptive else size

    def __call__(self, shards: Iterator[Shard], progress: Progress) -> None:
        """As many shards at once as keep the engine full: while one is judged and written, or waits for its longest completions,
        the engine works on the next."""
        wanted = self._engine.wanted
        if not wanted:
            one_by_one(self._work)(shards, progress)
            return
        with ThreadPoolExecutor(MOST_SHARDS) as threads:
            running: set[Future[None]] = set()
            try:
                for shard in shards:
                    running.add(self._begin(shard, progress, threads))
                    running = self._unfinished.wait(wanted, running)
                self._unfinished.wait(0, running)
            except BaseException:
                self.close()  # else the threads, for which the pool waits, would go on
                raise

    def _begin(self, shard: Shard, progress: Progress, threads: ThreadPoolExecutor) -> Future[None]:
        self._unfinished.expect(shard, len(shard) * self._first)
        future = threads.submit(self._part, shard, progress)
        future.add_done_callback(lambda _: self._unfinished.expect(shard, 0))
        return future

    def _part(self, shard: Shard, progress: Progress) -> None:
        with progress.part(len(shard)) as advance:
            self._work(shard, advance)

    def _work(self, shard: Shard, advance: Advance) -> None:
        config, prompts = self._run.config, self._prompts[shard.start : shard.stop]
        with self._one_at_a_time:
            tokens = asked_ids(self._prompts, shard.start, shard.stop, self._tokenizer)
            ids = {prompt.id: each for prompt, each in zip(prompts, tokens, strict=True)}
        limit = self._engine.context_length
        left_out = [
            Quarantined(
                id=p.id, row=p.row, reason=f"too long for the engine: {len(ids[p.id])} tokens, it takes {limit}"
            )
            for p in prompts
            if len(ids[p.id]) >= limit
        ]
        prompts = [prompt for prompt in prompts if len(ids[prompt.id]) < limit]
        size, first = config.rollout.num_generations, self._first

        def ended(count: float) -> None:
            advance(count / size)
            self._unfinished.ended(shard, count)

        self._unfinished.expect(shard, len(prompts) * first)
        groups = self._draw(prompts, ids, range(first), ended)
        if first < size:
            halves = [half_of([rollout.reward for rollout in groups[prompt.id]]) for prompt in prompts]
            needed = needs_second_half(halves, size, share_wanted(config, self._run.count_prompts()))
            unfinished = [prompt for prompt, more in zip(prompts, needed, strict=True) if more]
            self._unfinished.expect(shard, len(unfinished) * (size - first))
            for id, rest in self._draw(unfinished, ids, range(first, size), ended).items():
                groups[id] += rest
        rollouts = [rollout for prompt in prompts for rollout in groups[prompt.id]]
        with self._one_at_a_time:
            write_rollouts(self._run, shard, rollouts, left_out, opened=self._opened(ids), source=self._source)
            _refuse_unscored(self._run, shard)
            self._looks = self._looks and not look_at_first(self._run)

    def _opened(self, ids: dict[str, list[int]]) -> str:
        """The tag of a reasoning that the chat template opens; the same for all prompts."""
        return opened_reasoning(self._tokenizer, next(iter(ids.values())), self._run.config.data.reasoning_tags)

    def _draw(
        self, prompts: Sequence[Prompt], ids: dict[str, list[int]], samples: Sequence[int], ended: Advance
    ) -> dict[str, list[Rollout]]:
        """Sample and judge the `samples` of each prompt's group."""
        config = self._run.config
        completions = self._engine.generate(
            [Request(p.id, ids[p.id], [seed_of(config.seed, p.id, sample) for sample in samples]) for p in prompts],
            Sampling(config.rollout.max_completion_length, config.rollout.temperature, config.rollout.top_p),
            ended,
        )
        drawn = [(p, sample, one) for p in prompts for sample, one in zip(samples, completions[p.id], strict=True)]
        every = [one.completion_ids for _, _, one in drawn]
        with self._one_at_a_time:
            texts = completion_texts(self._tokenizer, every, config.data.reasoning_tags)
            judged = [(prompt, text) for (prompt, _, _), text in zip(drawn, texts, strict=True)]
            verdicts = judge(self._verifier, judged, self._opened(ids))
        groups: dict[str, list[Rollout]] = {prompt.id: [] for prompt in prompts}
        for (p, sample, one), text, verdict in zip(drawn, texts, verdicts, strict=True):
            tokens = (ids[p.id], one.completion_ids)
            groups[p.id].append(judged_rollout(p.id, sample, *tokens, text, one.finish_reason, verdict))
        return groups
