"""The routes under `/v1`: an app as programs know it that speak to OpenAI."""

from parlour.web.openai.routes import OpenAI

__all__ = ["OpenAI"]
