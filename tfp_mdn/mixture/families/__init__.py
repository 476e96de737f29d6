"""The kinds of components that a `FamilyMixture` can have, one module each."""

from tfp_mdn.mixture.families._family import Family, Shape
from tfp_mdn.mixture.families.logistic import LOGISTIC
from tfp_mdn.mixture.families.lognormal import LOGNORMAL
from tfp_mdn.mixture.families.student_t import STUDENT_T
from tfp_mdn.mixture.families.truncated_normal import TRUNCATED_NORMAL

__all__ = ["FAMILIES", "Family", "Shape"]

FAMILIES = {family.name: family for family in (STUDENT_T, LOGISTIC, LOGNORMAL, TRUNCATED_NORMAL)}
