from .check import Check as Check
from .check import ContractBroken as ContractBroken
from .coders import check_coder as check_coder
from .contracts import checks_of as checks_of
from .contracts import parametrize_with_checks as parametrize_with_checks
from .estimators import check_estimator as check_estimator
from .questions import check_question as check_question
