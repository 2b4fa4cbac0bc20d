# Stands in for the Python of a job: hands back the outcome in ANSWER, or in ANSWER-INDEX for one task of an array, once
# there is no file WAIT; dies where there is none. The last argument is submitit's folder.
for folder; do :; done
job=${SUBMITIT_LOCAL_JOB_ID:-${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+_$SLURM_ARRAY_TASK_ID}}
while [ -e "$WAIT" ]; do sleep 0.05; done
answer=$ANSWER
[ -e "$ANSWER-$SLURM_ARRAY_TASK_ID" ] && answer=$ANSWER-$SLURM_ARRAY_TASK_ID
echo "job $job speaks" >&2
[ -s "$answer" ] || kill -9 $$
cp "$answer" "$folder/$job.part" && mv "$folder/$job.part" "$folder/${job}_0_result.pkl"
