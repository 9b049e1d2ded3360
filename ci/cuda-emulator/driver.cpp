// libcuda: one GPU, whose memory is the process's and whose kernels run on the thread that launches them.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <mutex>
#include <string>

#include "threads.h"

namespace {
using Address = unsigned long long;
enum : int { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_IMAGE = 200, NOT_FOUND = 500, UNSUPPORTED = 801 };
constexpr size_t TOTAL_BYTES = 16ULL << 30;
constexpr int UNWRITTEN = 0x7f;

struct Kernel {
    void (*run)(void **);
    std::string name;
};

// Never destroyed: they are read when the process ends.
auto &memory = *new std::map<Address, size_t>;
auto &launches = *new std::map<std::string, long>;
std::mutex access;
size_t held = 0;

int allocated(void **pointer, size_t bytes) {
    std::lock_guard lock(access);
    if (held + bytes > TOTAL_BYTES || posix_memalign(pointer, 512, bytes)) return OUT_OF_MEMORY;
    memset(*pointer, UNWRITTEN, bytes);
    memory[reinterpret_cast<Address>(*pointer)] = bytes;
    held += bytes;
    return SUCCESS;
}

double now() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void *at(Address address) { return reinterpret_cast<void *>(address); }

__attribute__((destructor)) void print_launches() {
    if (getenv("CUDA_EMULATOR_COUNT"))
        for (const auto &[name, count] : launches) fprintf(stderr, "emulator: %8ld %s\n", count, name.c_str());
}
} // namespace

extern "C" {
int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int *version) { return *version = 13000, SUCCESS; }
int cuGetErrorName(int, const char **name) { return *name = "CUDA_ERROR_EMULATED", SUCCESS; }
int cuGetErrorString(int, const char **text) { return *text = "an error of the emulator", SUCCESS; }

// ---- The device: an H200 as far as kernels ask

int cuDeviceGetCount(int *count) { return *count = 1, SUCCESS; }
int cuDeviceGet(int *device, int) { return *device = 0, SUCCESS; }
int cuDeviceGetName(char *name, int length, int) { return snprintf(name, length, "Emulated GPU"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t *bytes, int) { return *bytes = TOTAL_BYTES, SUCCESS; }
int cuDeviceGetPCIBusId(char *bus, int length, int) { return snprintf(bus, length, "0000:01:00.0"), SUCCESS; }
int cuDeviceGetUuid_v2(char *uuid, int) { return memset(uuid, 1, 16), SUCCESS; }
int cuDeviceGetUuid(char *uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
int cuDeviceGetLuid(char *, unsigned *, int) { return UNSUPPORTED; }

int cuDeviceGetAttribute(int *value, int attribute, int) {
    // By the numbers of CUdevice_attribute.
    static const std::map<int, int> values = {
        {1, 1024}, {2, 1024}, {3, 1024}, {4, 64},             // threads of a block, and along each axis
        {5, 2147483647}, {6, 65535}, {7, 65535},              // blocks along each axis
        {8, 49152}, {97, 232448}, {81, 233472},               // shared memory of a block, opted in, of a multiprocessor
        {10, 32}, {16, 132}, {39, 2048},                      // warp, multiprocessors, threads of one
        {41, 1}, {75, 9}, {76, 0},                            // unified addresses, compute capability
    };
    auto found = values.find(attribute);
    *value = found == values.end() ? 0 : found->second;
    return SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int) { return *context = &memory, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void *) { return SUCCESS; }
int cuCtxGetCurrent(void **context) { return *context = &memory, SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }
int cuCtxGetStreamPriorityRange(int *least, int *greatest) { return *least = *greatest = 0, SUCCESS; }

// ---- Memory

int cuMemAlloc_v2(Address *address, size_t bytes) {
    void *pointer = nullptr;
    int code = allocated(&pointer, bytes);
    *address = reinterpret_cast<Address>(pointer);
    return code;
}
int cuMemAllocAsync(Address *address, size_t bytes, void *) { return cuMemAlloc_v2(address, bytes); }
int cuMemFree_v2(Address address) {
    std::lock_guard lock(access);
    auto found = memory.find(address);
    if (found == memory.end()) return INVALID_VALUE;
    held -= found->second;
    memory.erase(found);
    free(at(address));
    return SUCCESS;
}
int cuMemFreeAsync(Address address, void *) { return cuMemFree_v2(address); }
int cuMemAllocHost_v2(void **pointer, size_t bytes) { return posix_memalign(pointer, 512, bytes) ? OUT_OF_MEMORY : SUCCESS; }
int cuMemHostAlloc(void **pointer, size_t bytes, unsigned) { return cuMemAllocHost_v2(pointer, bytes); }
int cuMemFreeHost(void *pointer) { return free(pointer), SUCCESS; }
int cuMemGetInfo_v2(size_t *available, size_t *total) {
    *total = TOTAL_BYTES;
    *available = TOTAL_BYTES - held;
    return SUCCESS;
}
int cuMemcpyHtoD_v2(Address to, const void *from, size_t bytes) { return memcpy(at(to), from, bytes), SUCCESS; }
int cuMemcpyHtoDAsync_v2(Address to, const void *from, size_t bytes, void *) { return cuMemcpyHtoD_v2(to, from, bytes); }
int cuMemcpyDtoH_v2(void *to, Address from, size_t bytes) { return memcpy(to, at(from), bytes), SUCCESS; }
int cuMemcpyDtoHAsync_v2(void *to, Address from, size_t bytes, void *) { return cuMemcpyDtoH_v2(to, from, bytes); }
int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void *) { return memmove(at(to), at(from), bytes), SUCCESS; }
int cuMemsetD8Async(Address to, unsigned char value, size_t bytes, void *) { return memset(at(to), value, bytes), SUCCESS; }

// CUDA_MEMCPY2D
struct Side {
    size_t x, y;
    int kind;
    char *host;
    Address device;
    void *array;
    size_t pitch;
    char *start() const { return (kind == 1 ? host : static_cast<char *>(at(device))) + x + y * pitch; }
};
struct Copy2D {
    Side from, to;
    size_t width, height;
};
int cuMemcpy2DAsync_v2(const Copy2D *copy, void *) {
    for (size_t row = 0; row < copy->height; row++)
        memcpy(copy->to.start() + row * copy->to.pitch, copy->from.start() + row * copy->from.pitch, copy->width);
    return SUCCESS;
}

// ---- Streams and events: everything is done when a function returns

int cuStreamCreate(void **stream, unsigned) { return *stream = malloc(1), SUCCESS; }
int cuStreamCreateWithPriority(void **stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
int cuStreamDestroy_v2(void *stream) { return free(stream), SUCCESS; }
int cuStreamSynchronize(void *) { return SUCCESS; }
int cuStreamWaitEvent(void *, void *, unsigned) { return SUCCESS; }
int cuStreamIsCapturing(void *, int *status) { return *status = 0, SUCCESS; }
int cuStreamBeginCapture_v2(void *, int) { return UNSUPPORTED; }
int cuStreamEndCapture(void *, void **) { return UNSUPPORTED; }
int cuEventCreate(double **event, unsigned) { return *event = new double(0), SUCCESS; }
int cuEventRecord(double *event, void *) { return *event = now(), SUCCESS; }
int cuEventDestroy_v2(double *event) { return delete event, SUCCESS; }
int cuEventQuery(double *) { return SUCCESS; }
int cuEventSynchronize(double *) { return SUCCESS; }
int cuEventElapsedTime(float *milliseconds, double *start, double *end) {
    return *milliseconds = (*end - *start) * 1e3, SUCCESS;
}
int cuEventElapsedTime_v2(float *milliseconds, double *start, double *end) {
    return cuEventElapsedTime(milliseconds, start, end);
}

// ---- Kernels: a module is the path of a library that nvrtc.cpp compiled

int cuModuleLoadData(void **module, const char *image) {
    *module = dlopen(image, RTLD_NOW | RTLD_LOCAL);
    if (!*module) {
        fprintf(stderr, "emulator: %s\n", dlerror());
        return INVALID_IMAGE;
    }
    *static_cast<Emulator **>(dlsym(*module, "emulator")) = &emulator_of_kernels;
    return SUCCESS;
}
int cuModuleUnload(void *) { return SUCCESS; }
int cuModuleGetFunction(Kernel **kernel, void *module, const char *name) {
    auto run = reinterpret_cast<void (*)(void **)>(dlsym(module, (std::string(name) + "_with").c_str()));
    *kernel = new Kernel{run, name};
    return run ? SUCCESS : NOT_FOUND;
}
int cuFuncSetAttribute(Kernel *, int, int) { return SUCCESS; }
int cuTensorMapEncodeTiled(void *, int, unsigned, void *, const void *, const void *, const void *, const void *, int, int,
                           int, int) {
    return UNSUPPORTED;
}
int cuLaunchKernel(Kernel *kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared_bytes, void *, void **arguments, void **) {
    std::lock_guard lock(access);
    launches[kernel->name]++;
    run_grid(kernel->run, arguments, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes);
    return SUCCESS;
}
}
