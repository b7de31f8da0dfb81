-- What several files compute, defined once. Not for tables under `incremental:`, which are not made again for a change
-- here.

-- Student's two-sided p value in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4), for whole degrees of freedom.
CREATE OR REPLACE MACRO student_p_at(theta, whole) AS 1 - CASE
    WHEN whole % 2 = 0 THEN sin(theta) / sqrt(pi()) * list_sum(
        [exp(lgamma(j + 0.5) - lgamma(j + 1)) * cos(theta) ** (2 * j) for j in range(0, whole // 2)]
    )
    ELSE 2 / pi() * theta + sin(theta) / sqrt(pi()) * coalesce(list_sum(
        [exp(lgamma(j) - lgamma(j + 0.5)) * cos(theta) ** (2 * j - 1) for j in range(1, (whole + 1) // 2)]
    ), 0)
END;
CREATE OR REPLACE MACRO whole_freedom(freedom) AS least(floor(greatest(freedom, 1)), 1000)::INTEGER;
CREATE OR REPLACE MACRO student_p(t, freedom) AS
    CASE WHEN t IS NOT NULL AND freedom IS NOT NULL
        THEN greatest(student_p_at(atan(abs(t) / sqrt(whole_freedom(freedom))), whole_freedom(freedom)), 0) END;

-- Holm's correction of `p` for all tests of a family, with no assumption on how these depend on each other. `tests` lists
-- each test once: {p: …, …}. In falling order the i-th has i tests that are no clearer, itself included.
CREATE OR REPLACE MACRO holm(p, tests) AS CASE WHEN p IS NOT NULL THEN least(1, list_max(list_transform(
    list_reverse_sort(list_filter(list_transform(tests, lambda test: test.p), lambda one: one IS NOT NULL)),
    lambda one, i: CASE WHEN one <= p THEN i * one END
))) END;
