-- Outputs made from a version of an input that has been replaced since: sound, but not consistent with the rest.
-- severity: warn
SELECT asset, partition, input_asset, input_partition
FROM marts.lineage_edges
WHERE input_is_current IS NOT TRUE
