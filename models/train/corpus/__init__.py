"""The demo model's corpus: a seeded generator of short chats and stories.

Everything is written here or made from the tables in this folder; nothing is downloaded.
`mix.conversation(rng)` draws one training document, `tasks.KINDS` holds one generator a kind of task.
"""
