"""The random matrices Γ of φ = Γᵀ∇J, fixed by a seed and names: E⟨φ_a, φ_b⟩ = ⟨∇J_a, ∇J_b⟩.

kronecker (two-sided, made of the Folder and the Sketch of fold) and dense (Rademacher) are sinks with the same constructor.
"""
