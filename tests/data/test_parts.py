"""What a batch may be made of: it moves, it is selected, and what has no examples is refused."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import attrs
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from runwright import Batch, InMemory, Ragged, SparseRows, UserError, shared
from runwright.training.splits import PartOfBatches, part_of

META = torch.device("meta")


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


@attrs.frozen(kw_only=True)
class Rich(Batch):
    tokens: dict[str, Tensor]
    pair: Pair
    nested: tuple[Tensor, list[Tensor]]
    sets: Ragged
    counts: SparseRows
    names: NDArray[np.str_]
    adjacency: Tensor = shared()
    classes: tuple[str, ...] = shared(default=("a", "b"))
    temperature: float = 1.0


def numbers(*shape: int) -> Tensor:
    return torch.arange(float(np.prod(shape))).reshape(*shape)


def rich(count: int = 6) -> Rich:
    sizes = [index % 4 for index in range(count)]
    sets = [torch.full((size, 2), float(index)) for index, size in enumerate(sizes)]
    return Rich(
        tokens={"ids": numbers(count, 3), "mask": numbers(count, 1)},
        pair=Pair(numbers(count), numbers(count, 2)),
        nested=(numbers(count), [numbers(count, 2, 2)]),
        sets=Ragged.of(sets),
        counts=sparse(random_matrix(count, 5)),
        names=np.array([f"cell {index}" for index in range(count)]),
        adjacency=numbers(3, 3),
    )


def random_matrix(rows: int, width: int) -> Tensor:
    rng = np.random.default_rng([rows, width])
    matrix = rng.integers(1, 9, (rows, width)) * (rng.random((rows, width)) < 0.4)
    return torch.from_numpy(matrix).float()


def sparse(matrix: Tensor) -> SparseRows:
    rows, columns = matrix.nonzero(as_tuple=True)
    offsets = torch.zeros(len(matrix) + 1, dtype=torch.int64)
    offsets[1:] = torch.bincount(rows, minlength=len(matrix)).cumsum(0)
    return SparseRows(
        values=matrix[rows, columns],
        columns=columns.int(),
        offsets=offsets,
        width=matrix.shape[1],
    )


@pytest.mark.parametrize(
    "index",
    [slice(1, 4), slice(0, 0), slice(0, 6, 2), torch.tensor([5, 0, 0, 3]), torch.tensor([1])],
    ids=str,
)
def test_examples_are_selected_from_every_part(index: Tensor | slice) -> None:
    batch = rich()
    some = batch.select(index)
    which = [*range(6)][index] if isinstance(index, slice) else index.tolist()
    assert len(some) == len(which)
    assert torch.equal(some.tokens["ids"], batch.tokens["ids"][which])
    assert torch.equal(some.pair.right, batch.pair.right[which])
    assert isinstance(some.nested, tuple)
    assert torch.equal(some.nested[1][0], batch.nested[1][0][which])
    assert some.names.tolist() == [f"cell {one}" for one in which]
    assert torch.equal(some.counts.dense(), batch.counts.dense()[which])
    assert some.sets.lengths.tolist() == [one % 4 for one in which]
    assert some.sets.values[:, 0].tolist() == [float(one) for one in which for _ in range(one % 4)]
    assert some.adjacency is batch.adjacency
    assert some.classes == ("a", "b")
    assert some.temperature == 1.0
    some.check_lengths(len(which))


def test_every_part_moves_with_the_batch() -> None:
    moved = rich().to(META)
    assert moved.device == META
    devices = {tensor.device for tensor in moved.tensors()}
    assert devices == {META}
    assert len([*moved.tensors()]) == 2 + 2 + 2 + 2 + 3 + 1
    assert isinstance(moved.pair, Pair)
    assert moved.names.tolist() == rich().names.tolist()


def test_sparse_rows_are_the_dense_ones() -> None:
    for rows, width in ((1, 1), (7, 3), (50, 40)):
        matrix = random_matrix(rows, width)
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
        rows_of = sparse(matrix)
        assert torch.equal(rows_of.dense(), matrix)
        assert torch.equal(rows_of.select(order).dense(), matrix[order])
        assert rows_of.select(order).dense().dtype == matrix.dtype


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "dense"])
def test_sparse_rows_are_taken_over_from_scipy(layout: str) -> None:
    from scipy.sparse import csr_matrix

    matrix = random_matrix(9, 4)
    given: Any = csr_matrix(matrix.numpy())
    given = matrix.numpy() if layout == "dense" else given.asformat(layout)
    assert torch.equal(SparseRows.from_csr(given).dense(), matrix)


def test_values_of_the_same_place_are_added_and_the_matrix_is_left_as_it_was() -> None:
    from scipy.sparse import csr_matrix

    given: Any = csr_matrix(([1.0, 2.0, 3.0], [1, 1, 0], [0, 3]), shape=(1, 2))
    rows = SparseRows.from_csr(given)
    assert rows.columns.tolist() == [0, 1]
    assert rows.dense().tolist() == [[3.0, 3.0]]
    assert given.data.tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ([torch.zeros(2, 3), torch.zeros(2, 4)], r"got \(2, 3\), \(2, 4\)\."),
        ([], "got no set"),
    ],
)
def test_sets_that_cannot_be_stored_one_after_another_are_refused(
    sets: list[Tensor], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        Ragged.of(sets)


def test_sets_of_different_sizes_are_padded() -> None:
    sets = Ragged.of([torch.tensor([1.0, 2.0, 3.0]), torch.empty(0), torch.tensor([4.0])])
    padded, mask = sets.padded(fill=-1)
    assert padded.tolist() == [[1, 2, 3], [-1, -1, -1], [4, -1, -1]]
    assert mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    assert sets.padded(length=2)[0].tolist() == [[1, 2], [0, 0], [4, 0]]
    assert Ragged.of([torch.empty(0, 2)]).padded()[0].shape == (1, 0, 2)


@pytest.mark.parametrize(
    ("offsets", "said"),
    [
        ([0, 2, 4], "end with the number of `values`, 5, got 4 at the end"),
        ([0, 3, 2, 5], "must not decrease"),
        ([1, 5], "start with 0"),
    ],
)
def test_offsets_that_do_not_fit_are_refused(offsets: list[int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Ragged(values=torch.zeros(5), offsets=torch.tensor(offsets))


@attrs.frozen(kw_only=True)
class Cells(Batch):
    pert: Any
    ctrl: Any


def cells(ctrl: Any, pert: Any = None) -> Cells:
    return Cells(ctrl=ctrl, pert=torch.zeros(4, 7) if pert is None else pert)


def in_memory(batch: Cells) -> None:
    InMemory(batch, batch_size=2, shuffle_seed=0)


def in_shares(batch: Cells) -> None:
    class One(InMemory[Cells]):
        def batches(self, epoch: int, start: int = 0) -> Any:
            yield batch

    split = One(cells(torch.zeros(4)), batch_size=2, shuffle_seed=0)
    next(iter(PartOfBatches(split, 0, 2).batches(0)))


@pytest.mark.parametrize("use", [in_memory, in_shares])
@pytest.mark.parametrize(
    ("ctrl", "said"),
    [
        (
            torch.zeros(512, 3),
            (
                "Cells cannot be divided into examples: `pert` has 4 entries, `ctrl` has 512. "
                "Every attribute needs one entry per example, (B, …). If it belongs to the batch "
                "as a whole, declare it as `pert = shared()`. If there are 128 for each example, "
                "reshape `ctrl` to (4, 128, …)."
            ),
        ),
        ({"x": torch.zeros(4), "y": torch.zeros(3)}, "`pert` has 4 entries, `ctrl.y` has 3"),
        ((torch.zeros(4), [torch.zeros(5)]), "`pert` has 4 entries, `ctrl[1][0]` has 5"),
        ([torch.zeros(3)], "as a whole, give it an attribute of its own, declared as `shared()`"),
        (np.zeros(5), "`pert` has 4 entries, `ctrl` has 5"),
        (Ragged.of([torch.zeros(2)] * 3), "`pert` has 4 entries, `ctrl` has 3"),
        (torch.tensor(1.0), "`ctrl` has shape ()"),
        (["a", "b", "c", "d"], "`ctrl` is a list of str, so it is unclear"),
        (torch.zeros(4, 2).to_sparse(), "Use runwright.SparseRows"),
    ],
    ids=["rows", "dict", "tuple", "few", "array", "ragged", "scalar", "list", "sparse"],
)
def test_what_cannot_be_cut_is_refused_by_name(
    use: Callable[[Cells], None], ctrl: Any, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        use(cells(ctrl))
    assert said in str(caught.value)


def test_a_batch_without_examples_is_refused() -> None:
    @attrs.frozen(kw_only=True)
    class Shared(Batch):
        table: Tensor = shared()

    with pytest.raises(UserError, match=r"Shared has no tensor that is not `shared\(\)`"):
        len(Shared(table=torch.zeros(3)))


def test_the_length_is_that_of_what_is_not_shared() -> None:
    @attrs.frozen(kw_only=True)
    class Both(Batch):
        table: Tensor = shared()
        x: Tensor

    both = Both(table=torch.zeros(9), x=torch.zeros(4))
    assert len(both) == len(cells({"a": torch.zeros(4)}, Ragged.of([torch.zeros(1)] * 4))) == 4
    split = InMemory(both, batch_size=4, shuffle_seed=1)
    parts = [next(iter(part_of(split, rank, 2).batches(0))) for rank in range(2)]
    assert [len(part) for part in parts] == [2, 2]
    assert all(len(part.table) == 9 for part in parts)


def test_a_batch_of_all_kinds_is_cut_in_every_epoch() -> None:
    batch = rich(12)
    split = InMemory(batch, batch_size=4, shuffle_seed=1)
    order = split.order(2)
    for number, some in enumerate(split.batches(2)):
        which = order[4 * number : 4 * number + 4]
        assert torch.equal(some.counts.dense(), batch.counts.dense()[which])
        assert some.names.tolist() == cast("Any", batch.names)[which.numpy()].tolist()
