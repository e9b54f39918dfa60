//! The same image, the same verdict: a client that resolves names all the time makes nothing flicker.
