import datetime as dt
from pathlib import Path

import pytest

import parlour

HOTEL = str(Path(__file__).parents[2] / "examples" / "hotel.py")
ARRIVAL = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)


def stay(nights, name="Ada"):
    return {
        "name": name,
        "arrival": str(ARRIVAL),
        "departure": str(ARRIVAL + dt.timedelta(days=nights)),
    }


def book(session):
    session.answer(stay(2))
    session.answer("garden")
    return session.answer(True)


def test_a_booking_is_made_and_outlives_a_restart(tmp_path):
    store = f"sqlite:///{tmp_path}/hotel.db"
    with parlour.local(HOTEL, store=store) as running:
        session = running.get_session()
        again = session.answer(stay(-1))
        assert again.question is not None
        assert "after the arrival" in again.question.note
        rooms = session.answer(stay(2))
        assert rooms.question is not None
        assert "Nights: 2" in rooms.question.text
        offer = session.answer(text="2")
        assert offer.question is not None
        assert "€176" in offer.question.text
        booked = session.answer(True)
        assert booked.status == "done"
        booking = session.get("booking")
        number = booking.partition(",")[0]
        assert number in booked.reply
    with parlour.local(HOTEL, store=store) as running:
        session = running.get_session(session.id)
        assert number in session.send_message("my booking").reply
        assert session.send_message("cancel").status == "waiting"
        assert "stands" in session.answer(text="").reply
        session.send_message("cancel, really")
        assert "Crossed out" in session.answer(True).reply
        assert "is white" in session.send_message("my booking").reply


def test_a_guest_who_comes_back_is_greeted_by_name(tmp_path):
    store = f"sqlite:///{tmp_path}/hotel.db"
    with parlour.local(HOTEL, store=store) as running:
        book(running.get_session(user="ada"))
    with parlour.local(HOTEL, store=store) as running:
        assert "Welcome back to The Heron, Ada!" in running.get_session(user="ada").history[0].text
        assert "Ada" not in running.get_session(user="someone").history[0].text


def test_the_confirmation_is_written_and_given(tmp_path):
    with parlour.local(HOTEL, store=f"sqlite:///{tmp_path}/hotel.db") as running:
        session = running.get_session()
        booked = book(session)
        [slip] = session.state.files
        assert slip.name.startswith("H-")
        assert slip.name.removesuffix(".txt") in booked.reply


def test_a_photo_is_taken_when_it_fits_and_when_it_comes_unasked(tmp_path):
    photo = tmp_path / "me.png"
    photo.write_bytes(b"not really a picture")
    with parlour.local(HOTEL) as running:
        session = running.get_session()
        book(session)
        assert session.send_message("photo").status == "waiting"
        refused = session.answer(files=[{"name": "song.mp3", "content": b"la"}])
        assert refused.status == "waiting"
        assert "me.png" in session.answer(files=[{"path": photo, "name": "me.png"}]).reply
        assert "We have your me.png" in session.send_message("my booking").reply
        unasked = session.send_message("here", files=[{"name": "p.pdf", "content": b"%PDF"}])
        assert "p.pdf (4 bytes)" in unasked.reply


def test_the_town_is_streamed_word_by_word():
    class Listener(parlour.EventHandler):
        pieces = 0

        def handle(self, event):
            self.pieces += type(event).__name__ == "TextStreamed"

    with parlour.local(HOTEL) as running:
        session = running.get_session()
        book(session)
        listener = Listener()
        told = session.send_message("the town, please", listener)
        assert "museum of umbrellas" in told.reply
        assert listener.pieces > 20


@pytest.mark.promise("P1")
def test_messages_are_counted_for_each_session_alone():
    with parlour.local(HOTEL) as running:
        one, other = running.get_session(user="a"), running.get_session(user="b")
        for session in (one, other):
            book(session)
        one.send_message("hello")
        assert "so far: 2." in one.send_message("help").reply
        assert "so far: 1." in other.send_message("help").reply


def test_it_asks_again_rather_than_guess():
    with parlour.local(HOTEL) as running:
        session = running.get_session()
        book(session)
        assert "stranger things" in session.send_message("xyzzy").reply
