import { Module } from '@nestjs/common';
import { CallbackDeliverer } from './callback.deliverer.js';
import { CallbackStore } from './callback.store.js';

@Module({ providers: [CallbackDeliverer, CallbackStore] })
export class WebhooksModule {}
