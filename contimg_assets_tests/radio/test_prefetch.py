"""Reading ahead: all parts in order, one ahead and no more, and errors where they belong."""

import pytest

from contimg_assets.radio.prefetch import prefetch


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_parts_come_in_order_and_two_buffers_are_enough(n: int) -> None:
    """What is being worked on is not yet overwritten: the buffer's content is still this part's."""
    buffers = [-1, -1]

    def read(k: int) -> int:
        buffers[k % 2] = k
        return k

    seen = []
    for part in prefetch(n, read):
        assert buffers[part % 2] == part
        seen.append(part)
    assert seen == list(range(n))


def test_an_error_comes_with_its_part() -> None:
    """The parts before it are handed out first."""

    def read(k: int) -> int:
        if k == 2:
            raise OSError("part 2 is bad")
        return k

    parts = prefetch(4, read)
    assert [next(parts), next(parts)] == [0, 1]
    with pytest.raises(OSError, match="part 2 is bad"):
        next(parts)
