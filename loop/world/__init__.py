"""The world of the embedded pair: real tables in, drawn scenes, questions and mixed sets out."""
