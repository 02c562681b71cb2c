#pragma once  // worker/program/muster_worker.h: how a program of your own trains in a DistributedJob: a C ABI
/* The program has a model of float32 tensors, examples and an optimizer. Muster's worker in the same pod says
 * which examples come next, and makes of the gradients of all ranks their mean. Parameters and gradient lie
 * in memory that both share; nothing is copied. Outside a job (MUSTER_SOCKET is not set) the same program
 * runs alone: a world of one.
 *
 *   muster_job* job = muster_open();
 *   muster_register_tensor(job, "w", 2, (int64_t[]){10, 784});
 *   muster_allocate(job);                           the first parameters into muster_parameters(job, NULL)
 *   muster_begin(job, &training);
 *   while (muster_next(job, -1, &event) == 0) switch (event.kind) {
 *     case MUSTER_BATCH: the mean gradient over event.rows into muster_gradient(job, NULL);
 *                        muster_gradient_ready(job, loss, 1); break;
 *     case MUSTER_STEP:  the optimizer's step on muster_parameters(job, NULL); muster_stepped(job); break;
 *     case MUSTER_END:   return event.exit_code; ...
 *   }
 *
 * Every function is for one thread at a time, muster_ask_stop for any, also in a signal handler. No exception
 * comes out of it, no C++ type is in it; a struct begins with its size as the program was compiled, so that
 * fields may be added. A function that returns int returns 0, or -1: then muster_last_error says why, in one
 * sentence with a remedy. */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MUSTER_API __attribute__((visibility("default")))

// NOLINTBEGIN(readability-identifier-naming): the names of C
typedef struct muster_job muster_job;

/* "0.1.0". */
MUSTER_API const char* muster_version(void);

/* Connects to the worker that MUSTER_SOCKET names, and waits until it has its place in the job: up to ten
 * minutes, as other pods start. Never NULL but where memory is out: ask muster_last_error, which is "" when
 * all is well. */
MUSTER_API muster_job* muster_open(void);
MUSTER_API void muster_close(muster_job* job); /* NULL is fine */
/* Of the last call that failed; "" before. Valid until the next call. */
MUSTER_API const char* muster_last_error(const muster_job* job);

typedef struct muster_world {
  uint32_t size; /* sizeof(muster_world), set by the caller */
  int64_t rank;  /* 0 <= rank < ranks; both change with the membership */
  int64_t ranks;
  int64_t membership; /* counted from 1; 0: alone */
  int64_t batch_size; /* of this rank in a usual step; alone, 0 before muster_begin, as what follows */
  int64_t epochs;
  int64_t seed;
  int32_t servers_step; /* parameter servers make the optimizer's step: no MUSTER_STEP comes */
} muster_world;
MUSTER_API int muster_get_world(const muster_job* job, muster_world* world);

/* One more tensor of the model: float32, row-major, behind the one before. All ranks register the same in the
 * same order. */
MUSTER_API int muster_register_tensor(muster_job* job, const char* name, int32_t dimensions,
                                      const int64_t* shape);

typedef struct muster_training {
  uint32_t size;         /* sizeof(muster_training) */
  int64_t examples;      /* of the whole dataset, the same on all ranks */
  int64_t batch_size;    /* examples of a step, alone; 0: 64. In a job the manifest's holds, here and below */
  int64_t epochs;        /* alone; 0: 1 */
  int64_t seed;          /* alone: of the order of examples, >= 0 */
  const char* optimizer; /* for parameter servers: {"name": "Adam", "learningRate": 0.001, ...} as in the
                            manifest, whose own it must be; NULL: not told */
  uint64_t fingerprint;  /* of the examples, made in any way: compared between ranks, and with the
                            checkpoint's;  0: not told, and their number is all that is compared */
} muster_training;
/* Gives the tensors their memory, zeros. Afterwards muster_parameters and muster_gradient are there. The
 * first parameters are to be written before muster_begin. */
MUSTER_API int muster_allocate(muster_job* job);
/* All tensors, flat; `count` may be NULL. */
MUSTER_API float* muster_parameters(const muster_job* job, size_t* count);
MUSTER_API float* muster_gradient(const muster_job* job, size_t* count);
/* The model is complete, with its first parameters: those of rank 0, or of a checkpoint, are the job's. */
MUSTER_API int muster_begin(muster_job* job, const muster_training* training);

enum {
  MUSTER_NOTHING = 0, /* the wait is over */
  MUSTER_BATCH = 1,   /* write the mean gradient over `rows`; then muster_gradient_ready */
  MUSTER_STEP = 2, /* the gradient is the mean of all ranks: make the optimizer's step; then muster_stepped */
  MUSTER_GIVE_STATE = 3, /* muster_give_state: what the optimizer remembers */
  MUSTER_TAKE_STATE = 4, /* `state` takes the place of what it remembers; parameters are in place */
  MUSTER_END = 5,        /* of the training: exit with `exit_code`, after whatever is left to do */
  MUSTER_ROUND = 6       /* of clients (muster_open_client) */
};
typedef struct muster_event {
  uint32_t size; /* sizeof(muster_event), set by the caller */
  int32_t kind;
  const int64_t* rows; /* MUSTER_BATCH: numbers of examples, 0 <= row < examples */
  size_t row_count;
  int64_t step;        /* whole steps so far, of the job */
  int64_t total_steps; /* as it looks now */
  int64_t epoch;       /* whole epochs so far */
  const void* state;   /* MUSTER_TAKE_STATE */
  size_t state_bytes;
  int32_t exit_code;     /* MUSTER_END: 0: the model is trained */
  int32_t wants_buckets; /* MUSTER_BATCH: muster_bucket_ready is of use */
  const char* words;     /* MUSTER_END: the pod's last words, which the library has written already */
} muster_event;
/* What to do next. Waits for `timeout_ms`; negative: as long as it takes. A batch that comes where a step was
 * due means that a rank was lost: the gradient before counts no more. What an event points to is valid until
 * the next call. */
MUSTER_API int muster_next(muster_job* job, int64_t timeout_ms, muster_event* event);

/* Of a MUSTER_BATCH whose gradient is still being computed: tensors [first, first + count), as they were
 * registered, counted from 0, have theirs in muster_gradient already. They are summed over the ranks while
 * the program goes on, and are not to be written to until the next event, nor told again. Whoever does not
 * tell, or is not wanted to, loses nothing but time. Cheap: the worker hears of many together. */
MUSTER_API int muster_bucket_ready(muster_job* job, int32_t first, int32_t count);
/* `loss`: the mean over the batch; has_loss 0: not told. */
MUSTER_API int muster_gradient_ready(muster_job* job, double loss, int32_t has_loss);
MUSTER_API int muster_stepped(muster_job* job);
MUSTER_API int muster_give_state(muster_job* job, const void* state, size_t bytes);
/* What the program has measured itself, for status and curves, at any time, also after MUSTER_END: accuracy
 * 0..1. NaN: not told. Another accuracy, an infinite loss and one beyond 1e100 are refused. */
MUSTER_API int muster_report(muster_job* job, double loss, double accuracy);
/* SIGTERM has come: the step under way is finished, a checkpoint written, and MUSTER_END comes with 143. */
MUSTER_API void muster_ask_stop(muster_job* job);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif
