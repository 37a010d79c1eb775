"""The bot that all servers are asked to be, in Parlour."""

import parlour

app = parlour.App()


@app.on_message
async def answer(session: parlour.Session, message: parlour.Message) -> None:
    session.reply(f"You said: {message.text}")
