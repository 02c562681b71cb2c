#pragma once  // worker/program/muster_client.h: how a program of your own trains the clients of a
              // FederatedRound: a part of the C ABI
#include "muster_worker.h"

#ifdef __cplusplus
extern "C" {
#endif

// NOLINTBEGIN(readability-identifier-naming): the names of C
/* The clients of a pod of a FederatedRound, in place of muster_open and muster_begin:
 *
 *   muster_job* job = muster_open_client();
 *   muster_register_typed(...); muster_allocate(job);   the initial model into muster_parameters(job, NULL)
 *   muster_begin_client(job);
 *   while (muster_next(job, -1, &event) == 0) switch (event.kind) {
 *     case MUSTER_ROUND: muster_get_round(job, &round); train the model in muster_parameters(job, NULL) on
 * the data of round.client, write it to muster_gradient(job, NULL) and then muster_update_ready(job,
 * examples, loss, accuracy), or muster_round_failed(job, why); break; case MUSTER_END:   return
 * event.exit_code;
 *   } */
MUSTER_API muster_job* muster_open_client(void);
enum { /* of a tensor in the program; in the memory that is shared it is float32 */
       MUSTER_FLOAT32 = 0,
       MUSTER_FLOAT64,
       MUSTER_FLOAT16,
       MUSTER_BFLOAT16,
       MUSTER_INT64,
       MUSTER_INT32,
       MUSTER_INT16,
       MUSTER_INT8,
       MUSTER_UINT8,
       MUSTER_BOOL
};
/* As muster_register_tensor. All clients register the same in the same order. */
MUSTER_API int muster_register_typed(muster_job* job, const char* name, int32_t type, int32_t dimensions,
                                     const int64_t* shape);
typedef struct muster_federation {
  uint32_t size; /* sizeof(muster_federation), set by the caller */
  int64_t first_client;
  int64_t clients; /* of this pod: first_client to first_client + clients - 1 */
  int64_t total_clients;
  int64_t rounds;
  int64_t seed;
  int64_t local_epochs; /* of spec.training, as the two below: for the program to do as it says */
  int64_t batch_size;   /* 0: all examples at once */
  double learning_rate;
} muster_federation;
MUSTER_API int muster_get_federation(const muster_job* job, muster_federation* federation);
MUSTER_API int muster_begin_client(muster_job* job);
typedef struct muster_round {
  uint32_t size;       /* sizeof(muster_round), set by the caller */
  int64_t client;      /* whose data to train on */
  int64_t round;       /* counted from 1 */
  int64_t deadline_ms; /* from the event on; an update that comes later does not count */
  int64_t seed;        /* of this client's shuffles in this round, below 2^62 */
  double mu; /* FedProx: (mu / 2) ||w - w_t||^2 is a part of the loss, w_t being the model that came */
} muster_round;
MUSTER_API int muster_get_round(const muster_job* job, muster_round* round);
/* `examples`: the weight of the update, at least 1. loss: the mean over them; accuracy: 0..1; NaN: not told.
 * Another accuracy, an infinite loss and one beyond 1e100 are refused; the round waits for another answer. */
MUSTER_API int muster_update_ready(muster_job* job, int64_t examples, double loss, double accuracy);
/* This client has no update for this round; `why` is told to the aggregator, which goes on without it. */
MUSTER_API int muster_round_failed(muster_job* job, const char* why);

// NOLINTEND(readability-identifier-naming)

#ifdef __cplusplus
}
#endif
