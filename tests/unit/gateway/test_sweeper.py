"""Connections whose other end takes nothing are cut, and no others."""

from services.gateway.sweeper import Sweeper


class FakeTransport:
    def __init__(self) -> None:
        self.unsent = 0
        self.is_closed = False
        self.is_cut = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_closed

    def abort(self) -> None:
        self.is_cut = True


class FakeConnection:
    def __init__(self) -> None:
        self.transport: FakeTransport | None = FakeTransport()


def swept(connection: FakeConnection, *steps: tuple[float, int, bool]) -> list[bool]:
    """Look at times, with so much unsent, closing or not; say after each whether it was cut."""
    times, found = [0.0], []
    sweeper = Sweeper({connection}, lambda: times[0])
    transport = connection.transport
    assert transport is not None
    for times[0], transport.unsent, transport.is_closed in steps:
        sweeper.look()
        found.append(transport.is_cut)
    return found


def test_who_takes_nothing_for_five_minutes_is_cut() -> None:
    assert swept(FakeConnection(), (0, 9, False), (299, 9, False), (301, 10, False)) == [False, False, True]


def test_who_takes_a_little_or_has_nothing_to_take_is_not() -> None:
    assert swept(FakeConnection(), (0, 9, False), (299, 8, False), (500, 8, False)) == [False] * 3
    assert swept(FakeConnection(), (0, 0, False), (600, 0, False), (900, 9, False), (950, 9, False)) == [False] * 4


def test_who_does_not_let_go_of_a_closed_connection_is_cut_at_the_next_look() -> None:
    assert swept(FakeConnection(), (0, 9, True), (10, 3, True)) == [False, True]


def test_connections_that_are_not_made_yet_are_passed_over() -> None:
    connection = FakeConnection()
    connection.transport = None
    Sweeper({connection}, lambda: 0.0).look()
