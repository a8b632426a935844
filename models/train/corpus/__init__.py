"""The demo model's corpus: a seeded generator of short chats and stories.

Everything is written here or made from the tables in this folder; nothing is downloaded.
`mix.conversation(rng)` draws one training document; `mix.PLAIN` says which kinds of questions it is made of.
"""
