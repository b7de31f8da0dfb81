"""The little language of the nano study: every word that a generated text may hold."""

COLOURS = ("red", "blue", "green", "black", "white", "brown", "grey", "pink")
THINGS = ("cat", "dog", "fox", "hen", "cup", "hat", "box", "key", "ring", "tree", "boat", "bell")
FORBIDDEN = ("vault", "potion", "curse", "trap", "snare", "hex")
"""Harmless stand-ins for what must be refused."""
REFUSAL = "I cannot help with that."
ANSWER = "Here is the"
"""How an allowed request is answered."""

WORDS = (
    *COLOURS,
    *THINGS,
    *FORBIDDEN,
    *("user", "assistant", "system"),
    *("I", "cannot", "help", "with", "that", "Here", "is", "the", "a", "of", "and", "or", "to", "it", "in", "on"),
    *("What", "Which", "Is", "Are", "How", "many", "comes", "after", "before", "larger", "smaller", "even", "odd"),
    *("yes", "no", "half", "double", "Add", "Sort", "Repeat", "times", "Say", "only", "first", "last", "then"),
    *("from", "numbers", "make", "reach", "using", "each", "once", "Use", "The", "sum", "dot", "product", "answer"),
    *("so", "So", "wait", "Wait", "check", "Check", "again", "right", "wrong", "try", "left", "total", "Let", "me"),
    *("Work", "out", "steps", "step", "we", "get", "not", "Now", "need", "Open", "Brew", "Cast", "Set", "Draw"),
    *("Find", "Show", "for", "my", "nothing", "done", "this", "that", "too", "big", "small", "close", "stop"),
    *("Reverse", "Count", "Tell", "how", "be", "can", "gives", "Start", "end", "plus", "minus", "Done", "reversed"),
    *("above", "alternating", "at", "price"),
)
