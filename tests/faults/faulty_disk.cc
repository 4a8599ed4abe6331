// A share of the calls on files below a folder fails with EIO, by a seed: as on a disk or a mount that has hiccups.
// Preloaded (LD_PRELOAD) into a process with FAULTY_FOLDER, FAULTY_SHARE and FAULTY_SEED in its environment.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include <mutex>
#include <random>

static bool fails(const char* path) {
  static const char* folder = getenv("FAULTY_FOLDER");
  static const double share = atof(getenv("FAULTY_SHARE"));
  static std::mutex lock;
  static std::mt19937 numbers(atoi(getenv("FAULTY_SEED")));
  if (path == nullptr || strncmp(path, folder, strlen(folder)) != 0) return false;
  std::lock_guard<std::mutex> held(lock);
  if (std::uniform_real_distribution<double>(0, 1)(numbers) >= share) return false;
  errno = EIO;
  return true;
}

static bool fails_at(int file) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size < 0) return false;
  path[size] = 0;
  return fails(path);
}

template <class Call>
static Call real(const char* name) {
  return reinterpret_cast<Call>(dlsym(RTLD_NEXT, name));
}

#define OPEN(NAME)                                                         \
  extern "C" int NAME(const char* path, int flags, ...) {                  \
    va_list rest;                                                          \
    va_start(rest, flags);                                                 \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; \
    va_end(rest);                                                          \
    if (fails(path)) return -1;                                            \
    return real<int (*)(const char*, int, ...)>(#NAME)(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

#define OF_PATH(NAME, PARAMETERS, ARGUMENTS, PATH)  \
  extern "C" int NAME PARAMETERS noexcept {         \
    if (fails(PATH)) return -1;                     \
    return real<int(*) PARAMETERS>(#NAME) ARGUMENTS; \
  }
OF_PATH(mkdir, (const char* path, mode_t mode), (path, mode), path)
OF_PATH(unlink, (const char* path), (path), path)
OF_PATH(rmdir, (const char* path), (path), path)
OF_PATH(rename, (const char* from, const char* to), (from, to), to)
OF_PATH(link, (const char* from, const char* to), (from, to), to)

#define OF_FILE(NAME, PARAMETERS, ARGUMENTS)          \
  extern "C" ssize_t NAME PARAMETERS {                \
    if (fails_at(file)) return -1;                    \
    return real<ssize_t(*) PARAMETERS>(#NAME) ARGUMENTS; \
  }
OF_FILE(read, (int file, void* content, size_t size), (file, content, size))
OF_FILE(write, (int file, const void* content, size_t size), (file, content, size))
OF_FILE(pread64, (int file, void* content, size_t size, off64_t at), (file, content, size, at))
