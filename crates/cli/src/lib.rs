//! The program: commands, wiring and rendering.
