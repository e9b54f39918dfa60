// Counts its visitors in Redis. Nobody is let in before the book is there: port
// 8080 is opened once Redis has taken the password, and not sooner.
'use strict';
const http = require('node:http');
const net = require('node:net');
const readline = require('node:readline');

const { REDIS_HOST = 'db', REDIS_PASSWORD = '' } = process.env;

// Tries until the deadline: Redis may still be starting.
function reach(deadline) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(6379, REDIS_HOST, () => resolve(socket.removeListener('error', failed)));
    const failed = (error) => {
      if (Date.now() > deadline) reject(error);
      else setTimeout(() => resolve(reach(deadline)), 200);
    };
    socket.once('error', failed);
  });
}

async function main() {
  const socket = await reach(Date.now() + 30_000);
  socket.on('close', () => process.exit(1));
  const replies = readline.createInterface({ input: socket })[Symbol.asyncIterator]();
  const ask = async (command) => {
    socket.write(`${command}\r\n`);
    const { value: reply = '-ERR hung up' } = await replies.next();
    if (reply.startsWith('-')) throw new Error(`redis: ${reply.slice(1)}`);
    return reply.slice(1);
  };

  await ask(`AUTH ${REDIS_PASSWORD}`);
  http
    .createServer(async (request, response) => {
      response.end(`You are visitor ${await ask('INCR visitors')}.\n`);
    })
    .listen(8080, () => console.log('the guestbook is open'));
}

// As the first process of a container it would else ignore them.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0));
main();
