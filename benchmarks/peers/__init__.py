"""N-EM beside what people would pick instead: slot attention, and no learning."""
