"""Nexmark, the standard queries over streams: an auction site with persons, auctions and bids.

Commands name a query: ``streamcore worker apps.nexmark:q5``. docs/nexmark.md lists the queries.
"""

from apps.nexmark.queries.q0 import app as q0
from apps.nexmark.queries.q1 import app as q1
from apps.nexmark.queries.q2 import app as q2
from apps.nexmark.queries.q3 import app as q3
from apps.nexmark.queries.q4 import app as q4
from apps.nexmark.queries.q5 import app as q5
from apps.nexmark.queries.q6 import app as q6
from apps.nexmark.queries.q7 import app as q7
from apps.nexmark.queries.q8 import app as q8
from apps.nexmark.queries.q9 import app as q9
from apps.nexmark.queries.q10 import app as q10
from apps.nexmark.queries.q11 import app as q11
from apps.nexmark.queries.q12 import app as q12
from apps.nexmark.queries.q13 import app as q13
from apps.nexmark.queries.q14 import app as q14
from apps.nexmark.queries.q15 import app as q15
from apps.nexmark.queries.q16 import app as q16
from apps.nexmark.queries.q17 import app as q17
from apps.nexmark.queries.q18 import app as q18
from apps.nexmark.queries.q19 import app as q19
from apps.nexmark.queries.q20 import app as q20
from apps.nexmark.queries.q21 import app as q21
from apps.nexmark.queries.q22 import app as q22
from apps.nexmark.queries.q23 import app as q23

__all__ = [
    "q0",
    "q1",
    "q2",
    "q3",
    "q4",
    "q5",
    "q6",
    "q7",
    "q8",
    "q9",
    "q10",
    "q11",
    "q12",
    "q13",
    "q14",
    "q15",
    "q16",
    "q17",
    "q18",
    "q19",
    "q20",
    "q21",
    "q22",
    "q23",
]
