-- What was made from what, output by output. Join `input_folder` to `folder` to walk to the origins, the reverse to
-- walk to the results. Completions of all checkpoints share one asset and differ in their folder.
-- grain: folder, input_asset, input_partition
-- column folder: where the output is, relative to RSFT_HOME; one folder is one output
-- column input_is_current: the input in use now still has the digest that this output was made from
SELECT
    o.asset,
    o.partition,
    o.stage,
    o.digest,
    o.folder,
    i.asset AS input_asset,
    i.partition AS input_partition,
    i.digest AS input_digest,
    i.folder AS input_folder,
    CASE WHEN i.asset LIKE 'completions/%' THEN c.output_id IS NOT NULL ELSE i.digest = u.digest END
        AS input_is_current,
    o.commit,
    o.made_by ->> 'engine' AS engine,
    o.made_by ->> 'seed' AS seed,
    o.finished_at,
    o.seconds
FROM records.outputs o
JOIN records.inputs i USING (output_id)
LEFT JOIN records.outputs u
    ON u.asset = i.asset AND u.partition = i.partition AND u.stage <> 'completions'
LEFT JOIN records.outputs c ON c.output_id = i.input_id AND c.stage = 'completions'
ORDER BY o.asset, o.partition, i.asset, i.partition
