#include "cuda/flight.h"

#include "config/base/check.h"
#include "cuda/sample.h"

enum status cuda_flight_reserve(struct cuda_backend *cb, struct error *err)
{
    enum status s = STATUS_OK;
    for (int i = 0; i < CUDA_FLIGHTS && s == STATUS_OK; i++) {
        s = device_event_create(cb->device, &cb->flights[i].staged, err);
        if (s == STATUS_OK) s = device_event_create(cb->device, &cb->flights[i].done, err);
    }
    return s;
}

void cuda_flight_release(struct cuda_backend *cb)
{
    for (int i = 0; i < CUDA_FLIGHTS; i++) {
        device_event_free(cb->device, cb->flights[i].staged);
        device_event_free(cb->device, cb->flights[i].done);
    }
}

void cuda_flight_begin(struct cuda_backend *cb)
{
    struct error ignored; /* errors are sticky: the download tells */
    cb->turn = (cb->turn + 1) % CUDA_FLIGHTS;
    device_event_wait(cb->device, cb->flights[cb->turn].staged, &ignored);
}

void cuda_flight_staged(struct cuda_backend *cb)
{
    device_event_record(cb->device, cb->flights[cb->turn].staged);
    cb->flights[cb->turn].step = cb->step;
}

void cuda_flight_return(struct cuda_backend *cb)
{
    CHECK(cb->n_flights < CUDA_FLIGHTS);
    cb->n_flights++;
    cuda_sample_return(cb);
    device_event_record(cb->device, cb->flights[cb->turn].done);
}

enum status cuda_flight_land(struct cuda_backend *cb, int *turn, struct error *err)
{
    CHECK(cb->n_flights > 0);
    *turn = (cb->turn + CUDA_FLIGHTS - --cb->n_flights) % CUDA_FLIGHTS;
    return device_event_wait(cb->device, cb->flights[*turn].done, err);
}
