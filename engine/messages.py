"""What is a chat message? A dictionary with "role" and "content", as transformers' chat templates take it."""

Message = dict[str, str]
