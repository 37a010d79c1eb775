"""A conversation with a screen that is a script, beside another client of the same session."""

import asyncio

from msgspec import Raw

import parlour
from parlour.events import Answer, Say
from parlour.transports.terminal.conversation import Conversation
from parlour.transports.terminal.screen import PromptGone

SECONDS = 30


class ScriptedScreen:
    live = True

    def __init__(self):
        self.shown = []
        self.prompts = asyncio.Queue()
        self._wanted = None

    def bot(self, text, files=()):
        self.shown.append(("bot", text))

    def stream(self, text):
        pass

    def user(self, text, files=(), note=""):
        self.shown.append(("user", text))

    def notice(self, text):
        self.shown.append(("notice", text))

    def problem(self, text):
        self.shown.append(("problem", text))

    def status(self, status):
        pass

    async def read(self, prompt):
        self._wanted = asyncio.get_running_loop().create_future()
        self.prompts.put_nowait(prompt)
        return await self._wanted

    def withdraw(self):
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_exception(PromptGone())

    def leave(self):
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_exception(EOFError())

    def types(self, line):
        self._wanted.set_result(line)

    async def until_prompt(self, *, free):
        while True:
            prompt = await self.prompts.get()
            if prompt.free == free:
                return prompt


def talk(app, script):
    """Runs `script(engine, conversation, screen)` beside the conversation, and then leaves."""

    async def run():
        async with asyncio.timeout(SECONDS), parlour.local(app) as running:
            engine = running.engine
            session = (await engine.open("local", "o1")).session
            conversation, screen = Conversation(engine, "local", session), ScriptedScreen()
            talking = asyncio.create_task(conversation.run(screen))
            await script(engine, conversation, screen)
            screen.leave()
            await talking
            return screen.shown

    return asyncio.run(run())


def asking_app(**options):
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        session.reply(f"got {await session.ask('Well?', **options)}")

    return app


def test_a_question_answered_elsewhere_leaves_the_prompt_and_shows_the_answer():
    async def script(engine, conversation, screen):
        await screen.until_prompt(free=True)
        screen.types("go")
        await screen.until_prompt(free=False)
        await engine.send(
            conversation.session, "local", Answer(id="a1", value=Raw(b'"from the phone"'))
        )
        await screen.until_prompt(free=True)

    shown = talk(asking_app(), script)
    assert shown == [
        ("user", "go"),
        ("bot", "Well?"),
        ("user", "from the phone"),
        ("bot", "got from the phone"),
    ]


def test_what_is_said_elsewhere_is_shown_and_a_question_it_raises_interrupts_the_prompt():
    async def script(engine, conversation, screen):
        await screen.until_prompt(free=True)
        await engine.send(conversation.session, "local", Say(id="m1", text="from elsewhere"))
        await screen.until_prompt(free=False)
        screen.types("here")
        await screen.until_prompt(free=True)

    shown = talk(asking_app(), script)
    assert shown[0] == ("user", "from elsewhere")
    assert shown[-1] == ("bot", "got here")


def test_a_refused_message_is_told_and_the_prompt_comes_back():
    app = parlour.App(settings=parlour.Settings(limits=parlour.Limits(message_bytes=10)))

    @app.on_message
    async def answer(session, message):
        session.reply("ok")

    async def script(engine, conversation, screen):
        await screen.until_prompt(free=True)
        screen.types("much too long for this")
        await screen.until_prompt(free=True)

    [(kind, _)] = talk(app, script)
    assert kind == "problem"


def test_a_session_that_ends_says_so_and_the_prompt_stays_for_a_new_one():
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        session.reply("goodbye")
        session.close()

    async def script(engine, conversation, screen):
        await screen.until_prompt(free=True)
        first = conversation.session
        screen.types("end it")
        await screen.until_prompt(free=True)
        while ("notice", "This conversation is over; /new begins another.") not in screen.shown:
            await asyncio.sleep(0)
        screen.types("/new")
        await screen.until_prompt(free=True)
        assert conversation.session != first

    assert ("notice", "A new conversation.") in talk(app, script)


def test_a_line_with_two_slashes_is_said_and_is_no_command():
    app = parlour.App()

    @app.on_message
    async def answer(session, message):
        session.reply(f"heard {message.text}")

    async def script(engine, conversation, screen):
        await screen.until_prompt(free=True)
        for line in ("//help", "/unknown"):
            screen.types(line)
            await screen.until_prompt(free=True)
            while ("bot", f"heard {line.replace('//', '/')}") not in screen.shown:
                await asyncio.sleep(0)

    assert ("user", "/help") in talk(app, script)
