"""Hooks of your own: plain functions that get a message and return it, changed or not.

Raise ValueError to reject the message. Named in oclaw.toml as "my_hooks:preprocess_hook".
"""


def preprocess_hook(message):
    if "prohibited_word" in message.content:
        raise ValueError("Invalid content")
    return message
