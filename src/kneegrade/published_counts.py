"""Numbers of knees that Tiulpin and Saarakkala (2020) published."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kneegrade.terms import Task

PAPER_KNEES: Final[Mapping[str, int]] = MappingProxyType({"oai": 19_704, "most": 11_743})

PAPER_COUNTS: Final[Mapping[str, Mapping[Task, tuple[int, ...]]]] = MappingProxyType(
    {
        "oai": MappingProxyType(
            {
                Task.KL: (2_434, 2_632, 8_538, 4_698, 1_402),
                Task.FO_L: (11_567, 4_698, 1_748, 1_691),
                Task.FO_M: (10_085, 4_453, 2_068, 3_098),
                Task.TO_L: (11_894, 5_167, 1_169, 1_474),
                Task.TO_M: (6_960, 9_181, 2_112, 1_451),
                Task.JSN_L: (17_044, 1_160, 1_061, 439),
                Task.JSN_M: (9_234, 5_765, 3_735, 970),
            }
        ),
        "most": MappingProxyType(
            {
                Task.KL: (4_899, 1_922, 1_838, 2_087, 997),
                Task.FO_L: (9_008, 1_336, 795, 604),
                Task.FO_M: (7_968, 1_218, 996, 1_561),
                Task.TO_L: (8_596, 1_978, 647, 522),
                Task.TO_M: (6_441, 3_458, 1_212, 632),
                Task.JSN_L: (10_593, 465, 442, 243),
                Task.JSN_M: (7_418, 1_865, 1_721, 739),
            }
        ),
    }
)
"""Table 1, by cohort and task: the number of knees of each grade."""
