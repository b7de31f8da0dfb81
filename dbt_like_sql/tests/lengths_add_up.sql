-- Growth in response length that its four parts do not add up to.
SELECT trace, growth, growth_real + growth_no_end_token + growth_loops + growth_cut AS parts
FROM marts.response_length
WHERE abs(growth - (growth_real + growth_no_end_token + growth_loops + growth_cut)) > 1e-6
