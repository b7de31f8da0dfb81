"""queries/<source>: questions with a reference answer, fetched or made by a seeded generator."""
