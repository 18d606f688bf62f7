/*
 * libtrapline for programs: the objects of trapline.h from the heap. Each ..._new() gives null if
 * there is no memory or an argument is bad, and each ..._free() takes null.
 */
#ifndef TRAPLINE_EMBED_TRAPLINE_HOSTED_H_
#define TRAPLINE_EMBED_TRAPLINE_HOSTED_H_

#include "trapline.h"

#ifdef __cplusplus
extern "C" {
#endif

TL_API struct tl_vcpu *tl_vcpu_new(const struct tl_ops *ops, void *arg);
TL_API void tl_vcpu_free(struct tl_vcpu *vcpu);
TL_API struct tl_cache *tl_cache_new(enum tl_cache_policy policy, unsigned entries_log2);
TL_API void tl_cache_free(struct tl_cache *cache);
TL_API struct tl_gate *tl_gate_new(void);
TL_API void tl_gate_free(struct tl_gate *gate);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* TRAPLINE_EMBED_TRAPLINE_HOSTED_H_ */
