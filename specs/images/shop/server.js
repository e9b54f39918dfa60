// The shop's app: answers on HOST:3000 with what there is to buy.
'use strict';
const http = require('node:http');

const goods = [
  { name: 'gunport lid, oak', price: 40 },
  { name: 'hinge, bronze', price: 12 },
];

http
  .createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(goods) + '\n');
  })
  .listen(3000, process.env.HOST);
