from services.embedder.descriptors.describer import Describer, Descriptors

__all__ = ["Describer", "Descriptors"]
