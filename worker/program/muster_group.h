#pragma once  // worker/program/muster_group.h: collectives in a DistributedJob for a program whose training
              // loop is its own: a part of the C ABI
#include "muster_worker.h"

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming): the names of C
/* Collectives for a program whose training loop is its own, in a DistributedJob, in place of muster_open;
 * alone the group is of one. What is shared lies in `room_bytes` at muster_parameters(job, NULL); a rank that
 * is lost makes every later call fail. Call muster_group_done before the process ends well. */
MUSTER_API muster_job* muster_open_group(int64_t room_bytes); /* a multiple of 64, from 64 KiB on */
enum {
  MUSTER_SUM = 1,       /* the first `bytes`, of floats, become their sums over the ranks */
  MUSTER_BROADCAST = 2, /* the first `bytes` become those of rank `root` */
  MUSTER_GATHER = 3,    /* each rank's first `bytes` lie at muster_gradient(job, NULL), by rank */
  MUSTER_BARRIER = 4,
  /* As MUSTER_SUM, by what spec.compression of the job says, which may be nothing. `root`: which of the
   * program's sums, 0 to 4095: what rounding leaves out goes with its next one, of as many bytes. */
  MUSTER_COMPRESSED_SUM = 5
};
/* By all ranks in the same order, with the same arguments. Blocks. -1: muster_last_error names the rank that
 * was lost, or says what is wrong. */
MUSTER_API int muster_collect(muster_job* job, int32_t kind, int64_t bytes, int64_t root);
MUSTER_API int muster_group_done(muster_job* job);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif
