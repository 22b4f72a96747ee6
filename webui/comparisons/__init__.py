"""What a studio does with comparisons: begins, extends, finds, estimates and judges them, and makes what can be taken away."""
