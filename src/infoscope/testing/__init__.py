"""Contracts: what every estimator, coder and question must keep, for those of our tables and for yours.

    from infoscope.testing import parametrize_with_checks

    @parametrize_with_checks({"mine": Mine()})
    def test_contract(check):
        check()

Each check is one pytest case, picked by what the method declares. `check_estimator(Mine())`, `check_coder(Mine())`
and `check_question(Mine(…))` run them all without pytest.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
