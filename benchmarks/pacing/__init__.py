"""Workers that take their time without using the processor, so that a few cores hold many."""
