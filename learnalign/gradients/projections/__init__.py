"""The random matrices Γ of φ = Γᵀ∇J, one file each."""
