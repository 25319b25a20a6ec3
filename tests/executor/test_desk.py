"""Who has which shard."""

from learnalign.executor.desk import TRIES, Desk
from learnalign.rundir import Shard

SHARDS = [Shard(i, 10 * i, 10 * i + 10) for i in range(4)]


def taken(desk: Desk, worker: int) -> list[int]:
    return [shard.index for shard in iter(lambda: desk.take(worker), None)]


def test_every_shard_is_handed_out_once_and_in_order() -> None:
    desk = Desk(SHARDS, lambda shard: False)
    assert [desk.take(1), desk.take(2), desk.take(1)] == SHARDS[:3]
    assert (desk.left, desk.held) == (1, 2)
    assert taken(desk, 2) == [3]
    desk.finish(1)
    desk.finish(2)
    assert (desk.left, desk.held) == (0, 0)


def test_the_shards_of_a_lost_worker_come_back_first_each_alone_but_for_those_it_has_stored() -> None:
    desk = Desk(SHARDS, lambda shard: shard.index == 0)
    for _ in range(3):
        desk.take(1)
    assert desk.lose(1, "killed") == 10  # prompts of shard 0
    assert desk.held == 0
    assert (taken(desk, 2), taken(desk, 3)) == ([1], [2])
    desk.finish(3)
    assert taken(desk, 3) == [3]


def test_no_worker_has_more_than_its_share_of_what_is_not_done() -> None:
    stored = set[Shard]()
    desk = Desk([Shard(i, i, i + 1) for i in range(7)], stored.__contains__)
    assert [desk.take(1, 3) for _ in range(4)] == [*(Shard(i, i, i + 1) for i in range(3)), None]
    stored.add(Shard(0, 0, 1))  # six are left, four of them with no worker
    assert desk.take(1, 3) is None
    assert [desk.take(worker, 3) for worker in (2, 3, 2, 3)] == [Shard(i, i, i + 1) for i in (3, 4, 5, 6)]
    assert desk.take(2, 3) is None
    desk.finish(1)
    assert desk.lose(2, "killed") == 0
    assert desk.take(1, 3) == Shard(3, 3, 4)


def test_what_others_have_stored_and_not_reported_is_in_no_share() -> None:
    shards = [Shard(i, i, i + 1) for i in range(6)]
    stored = set[Shard]()
    desk = Desk(shards, stored.__contains__)
    assert [desk.take(1, 2) for _ in range(3)] == shards[:3]
    stored.update(shards[:2])
    assert desk.take(2, 2) == shards[3]
    assert desk.take(2, 2) == shards[4]  # four are not done
    assert desk.take(2, 2) is None


def test_a_lost_shard_is_not_worked_on_beside_another() -> None:
    desk = Desk(SHARDS, lambda shard: False)
    assert [desk.take(1), desk.take(2)] == SHARDS[:2]
    desk.lose(1, "killed")
    assert desk.take(2) is None
    assert desk.left == 3
    desk.finish(2)
    assert desk.take(2) == SHARDS[0]


def test_a_shard_that_is_lost_too_often_is_given_up_and_the_others_are_done() -> None:
    desk = Desk(SHARDS, lambda shard: False)
    for worker in range(TRIES):
        assert desk.take(worker) == SHARDS[0]
        desk.lose(worker, f"reason {worker}")
    assert desk.given_up == {SHARDS[0]: "reason 2"}
    assert taken(desk, 9) == [1, 2, 3]


def test_a_shard_that_another_process_has_is_left_to_it() -> None:
    desk = Desk(SHARDS, lambda shard: False, claim=lambda shard: shard.index % 2 == 1)
    assert taken(desk, 1) == [1, 3]
    assert desk.left == 0
