/* A program of your own in C: y = w x + b by least squares, 512 examples, gradients of all ranks averaged.
 *   cc -O2 linear.c -lmuster_worker -lm -o linear && ./linear        alone
 *   PATH=$PWD:$PATH muster run examples/programs/linear-in-c.yaml   three of them, in a job */
#include <math.h>
#include <muster_worker.h>
#include <signal.h>
#include <stdio.h>

enum { kInputs = 3, kExamples = 512 };
static const double kSlope[kInputs] = {2.0, -1.0, 0.5};
static const double kIntercept = 3.0;
static const float kLearningRate = 0.1F;

static muster_job* job;

static void on_sigterm(int signal) {
  (void)signal;
  muster_ask_stop(job);
}

/* The inputs of an example; its output follows from them. */
static double example(int64_t row, double* x) {
  double y = kIntercept;
  for (int i = 0; i < kInputs; ++i) {
    x[i] = sin((double)(row * kInputs + i + 1) * 12.9898) * 1.5;
    y += kSlope[i] * x[i];
  }
  return y;
}

/* Mean of the squared errors, half of it; its gradient into `gradient`: kInputs slopes, then the intercept. */
static double gradient_over(const int64_t* rows, size_t count, const float* parameters, float* gradient) {
  double loss = 0;
  double sums[kInputs + 1] = {0};
  for (size_t r = 0; r < count; ++r) {
    double x[kInputs];
    double error = (double)parameters[kInputs] - example(rows[r], x);
    for (int i = 0; i < kInputs; ++i) error += (double)parameters[i] * x[i];
    for (int i = 0; i < kInputs; ++i) sums[i] += error * x[i];
    sums[kInputs] += error;
    loss += error * error / 2;
  }
  for (int i = 0; i <= kInputs; ++i) gradient[i] = (float)(sums[i] / (double)count);
  return loss / (double)count;
}

static int give_up(const char* what) {
  fprintf(stderr, "%s: %s\n", what, muster_last_error(job));
  return 1;
}

int main(void) {
  job = muster_open();
  if (job == NULL || *muster_last_error(job) != '\0') return give_up("muster_open");
  signal(SIGTERM, on_sigterm);
  const int64_t slopes = kInputs;
  if (muster_register_tensor(job, "slope", 1, &slopes) != 0 || muster_register_tensor(job, "intercept", 0, NULL) != 0 ||
      muster_allocate(job) != 0)
    return give_up("the model");
  float* const parameters = muster_parameters(job, NULL); /* zeros are as good a begin as any */
  float* const gradient = muster_gradient(job, NULL);
  muster_training training = {.size = sizeof training, .examples = kExamples};
  if (muster_begin(job, &training) != 0) return give_up("muster_begin");

  muster_event event = {.size = sizeof event};
  while (muster_next(job, -1, &event) == 0) {
    int failed = 0;
    switch (event.kind) {
      case MUSTER_BATCH:
        failed = muster_gradient_ready(job, gradient_over(event.rows, event.row_count, parameters, gradient), 1);
        break;
      case MUSTER_STEP:
        for (int i = 0; i <= kInputs; ++i) parameters[i] -= kLearningRate * gradient[i];
        failed = muster_stepped(job);
        break;
      case MUSTER_GIVE_STATE: /* plain descent remembers nothing */ failed = muster_give_state(job, "", 0); break;
      case MUSTER_END:
        printf("step %lld: y = %.4f a %+.4f b %+.4f c %+.4f\n", (long long)event.step, (double)parameters[0],
               (double)parameters[1], (double)parameters[2], (double)parameters[3]);
        return event.exit_code;
      default: break;
    }
    if (failed != 0) return give_up("an answer");
  }
  return give_up("muster_next");
}
