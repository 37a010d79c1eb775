"""The same bot in Chainlit, as its documentation writes it. `chainlit run chainlit_echo.py`"""

import chainlit as cl


@cl.on_message
async def answer(message: cl.Message) -> None:
    await cl.Message(content=f"You said: {message.content}").send()
