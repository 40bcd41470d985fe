"""Starts one hand of a crew; its classes must not be this module's, or the other side could not unpickle them."""

from nodes.crew.hand import main

if __name__ == "__main__":
    main()
