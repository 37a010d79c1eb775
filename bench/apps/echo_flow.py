"""The same echo as a flow: a state whose body answers, entered anew by each message."""

import parlour

flow = parlour.Flow("echo")
listening, answering = flow.states("listening", "answering", initial="listening")
listening.when_message().go_to(answering)


@answering.body
async def answer(session: parlour.FlowSession, event: object) -> None:
    session.reply(f"You said: {getattr(event, 'text', '')}")


answering.go_to(listening)

app = parlour.App(flow)
