// Binding of listeners: the addresses that cannot be had are named by their key, and a socket file of a dead process is replaced.
import t from 'tap';
import { listenOn } from '../../src/gateway/listen.ts';

/** A system that refuses every address with this error. */
const refusing = (code: string) => ({
  listen: () => Promise.reject(Object.assign(new Error(`listen ${code}`), { code })),
  server: { address: () => null },
});

t.test('a port without the right to it is named with its key', async (t) => {
  await t.rejects(listenOn(refusing('EACCES'), '127.0.0.1:443', 'server.listen'), {
    message:
      'server.listen: 127.0.0.1:443 may not be used by this account: ports below 1024 need a right of their own (CAP_NET_BIND_SERVICE)',
  });
});

t.test('what nobody foresaw is told in the words of the system, with its key', async (t) => {
  await t.rejects(listenOn(refusing('EINVAL'), '127.0.0.1:443', 'admin.listen'), {
    message: 'admin.listen: 127.0.0.1:443 cannot be listened on: listen EINVAL',
  });
});
